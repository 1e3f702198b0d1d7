"""The health page: one page for people, rendered on the server.

    routes.py    who gets which page
    reading.py   what is read for it: one round of bounded queries
    view.py      what it says, in plain words; pure (score_view.py, dead_letters.py, event_view.py)
    templates/   how it looks, with the style sheet and parts of ``health/view``

Reading works without script. Actions are the API's own endpoints (``web/admin/router.py``),
called by ``assets/page.js``.
"""

from tracking_pipeline.web.page.routes import page_router as page_router
