"""Photos of the same moment: bursts, brackets, stacks, panoramas and near-duplicates. Nothing here touches a file."""
