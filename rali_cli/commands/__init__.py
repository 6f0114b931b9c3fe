"""One file a command, or a few that differ only in what they ask for.

Heavy imports stand inside the functions: ``rali --help`` must not pay for numpy, and ranking not for torch.
"""
