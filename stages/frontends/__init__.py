"""What stands in front of a frozen backbone and enhances the signal: a mask on its spectrum (Grad-W and its rivals).

Nothing is imported here: settings are read by every command, and torch takes seconds.
"""
