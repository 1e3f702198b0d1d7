"""What reacts. Each tick makes one bounded query and says numbers when it launches nothing.

One file a sensor.
"""

from tracking_pipeline.sensors.alert_notification import alert_notification_sensor
from tracking_pipeline.sensors.lost_runs import lost_runs_sensor
from tracking_pipeline.sensors.new_leads import new_leads_sensor
from tracking_pipeline.sensors.queue_growth import queue_growth_sensor
from tracking_pipeline.sensors.replay_after_pause import replay_after_pause_sensor
from tracking_pipeline.sensors.threshold_breach import threshold_breach_sensor

default_sensors = [
    queue_growth_sensor,
    threshold_breach_sensor,
    alert_notification_sensor,
    replay_after_pause_sensor,
    new_leads_sensor,
    lost_runs_sensor,
]
