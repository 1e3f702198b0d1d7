"""The tags that runs carry: for the filters of the Runs page, and for the queue's limits."""

GROUP_TAG = "tracking/job"
DESTINATION_TAG = "tracking/destination"

# Runs that may take minutes. dagster.yaml lets so few of them run at once that a slot stays free
# for a health check and for what tells its alerts.
LONG_RUN = {"tracking/slot": "long"}
# Taken from the queue before the others.
FIRST_IN_QUEUE = {"dagster/priority": "1"}

# A run whose process died is executed again by the daemon, from its start: a check shows one
# moment, and a drain counts anew what there is to take.
AGAIN_FROM_THE_START = {"dagster/retry_strategy": "ALL_STEPS"}
