"""One file an inference engine; each offers ``run(pixels) -> (scores, compressed embeddings)``."""
