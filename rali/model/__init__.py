"""What a score is: the network, its weights, and how it is run."""
