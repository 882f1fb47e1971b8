"""LeRobot's data set format, version 3.0: parquet and MP4 files, each with many episodes."""
