"""What the command line shows to people: tables and progress bars. No decisions, no I/O but
printing. One file for what one family of verbs shows.
"""
