"""The health page: one page for people, rendered on the server.

    routes.py    who gets which page (event_routes.py: that of one event)
    reading.py   what is read for it: one round of bounded queries
    view.py      what it says, in plain words; pure (*_view.py: its larger parts)
    templates/   how it looks

Reading works without script. Actions are the API's own endpoints (``web/admin/router.py``),
called by ``assets/page.js``.
"""

from tracking_pipeline.web.page.event_routes import event_page_router as event_page_router
from tracking_pipeline.web.page.routes import page_router as page_router
