"""Exercises: fill a hole, and be told what kind of mistake it is if it is wrong.

The README beside this file is for those who write them.
"""
