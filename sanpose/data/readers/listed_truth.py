"""The ground truth that goes with a listing: every image and person of the evaluation files, packed or not.

An evaluation must also count people without a sample, and images without people. So only what is bad leaves the ground
truth: a person by its file and entry, an image by its row in the listing. Ids alone would not do: files share them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

NOT_PACKED = -1
"""The row of an image of the ground truth that the listing does not have."""


@dataclass(frozen=True)
class ListedPerson:
    """A person of the ground truth. image: index in `ListedTruth.images`; where: file and entry, as in
    `Listing.where`; entry: the person in COCO's JSON."""

    image: int
    where: str
    entry: Mapping[str, object]


@dataclass(frozen=True)
class ListedTruth:
    """images: K entries of COCO's JSON; rows (K,): the row of each image in the listing, or NOT_PACKED; people: in any
    order; categories: COCO's JSON."""

    images: tuple[Mapping[str, object], ...]
    rows: npt.NDArray[np.int64]
    people: tuple[ListedPerson, ...]
    categories: object

    def without_people(self, where: Set[object]) -> ListedTruth:
        """Without the people of these files and entries."""
        return replace(self, people=tuple(person for person in self.people if person.where not in where))

    def without_images(self, bad: npt.NDArray[np.bool_]) -> ListedTruth:
        """Without the images whose row is in the mask `bad` (M,), and without their people."""
        packed = self.rows != NOT_PACKED
        stays = ~packed
        stays[packed] = ~bad[self.rows[packed]]
        index = np.cumsum(stays) - 1
        people = (replace(p, image=int(index[p.image])) for p in self.people if stays[p.image])
        return replace(self, images=tuple(compress(self.images, stays)), rows=self.rows[stays], people=tuple(people))

    def moved(self, new_row: npt.NDArray[np.int64]) -> ListedTruth:
        """For a listing whose image at row n moves to new_row[n] (M,); NOT_PACKED for an image that leaves it."""
        rows = np.where(self.rows == NOT_PACKED, NOT_PACKED, new_row[self.rows])
        return replace(self, rows=rows)

    def text(self) -> str:
        """COCO's annotation JSON."""
        return json.dumps(
            {
                "info": {},
                "images": list(self.images),
                "annotations": [person.entry for person in self.people],
                "categories": self.categories,
            }
        )
