"""ObsCore 1.1 and its high-energy extension: event lists and response functions as data that one discovers by query."""
