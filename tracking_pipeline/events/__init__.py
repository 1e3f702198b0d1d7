"""Events as sources write them, read into what the pipeline works with."""
