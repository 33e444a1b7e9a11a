"""The language of prompts: Jinja's notation, with a meaning of our own that cannot get out of hand.

Jinja's parser reads a template; nothing it would make of that is ever run. The tree is walked here,
over plain values, and every step and every character made is paid from one allowance. So there
is no code to escape from, and no loop, text or number that grows without end.
"""
