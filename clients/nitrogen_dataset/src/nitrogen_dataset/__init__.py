"""Recordings of play as data sets: LeRobot's format to train with, Rerun's to look at."""

__version__ = "0.3.0"
