# Python looks for garbage each 700 objects, which is a quarter of the time that a verb's imports
# take, and a tenth of a drain's. What is not found for longer is a few megabytes at most.
OBJECTS_BETWEEN_COLLECTIONS = 50_000
