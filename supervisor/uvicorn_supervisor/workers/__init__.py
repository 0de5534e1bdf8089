"""Workers: how they are forked, what they are given, what their processes do and say."""
