"""`wrrtun doctor`: find out what is wrong with a set-up, and say what to change.

Each check is a function that yields findings; nothing is changed on the machine. `examine` runs
them for one configuration file.
"""
