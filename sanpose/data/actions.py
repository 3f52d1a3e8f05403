"""Human3.6M's fifteen actions: their numbers, their names, and common other spellings."""

from __future__ import annotations

import re

from sanpose.errors import UserError, nearest

# Human3.6M's own numbers; 1 is "all".
ACTIONS = {
    2: "Directions", 3: "Discussion", 4: "Eating", 5: "Greeting", 6: "Phoning", 7: "Posing", 8: "Purchases",
    9: "Sitting", 10: "SittingDown", 11: "Smoking", 12: "Photo", 13: "Waiting", 14: "Walking", 15: "WalkDog",
    16: "WalkTogether",
}  # fmt: skip

_OTHER_NAMES = {
    "takingphoto": "Photo", "photos": "Photo", "walkingdog": "WalkDog", "walkingtogether": "WalkTogether",
    "greet": "Greeting", "wait": "Waiting", "walk": "Walking", "eat": "Eating", "phone": "Phoning", "pose": "Posing",
    "purchase": "Purchases", "sit": "Sitting", "smoke": "Smoking", "discuss": "Discussion", "direction": "Directions",
}  # fmt: skip
_NUMBER = {name.lower(): number for number, name in ACTIONS.items()}


def action_number(name: str, *, where: object = None) -> int:
    """Human3.6M's number (2 .. 16) of an action, from any of its usual spellings.

    A suffix such as " 1", "_2" or " 3" is ignored. Raises UserError for any other name.
    """
    key = re.sub(r"[ _]\d+$", "", name.strip()).replace(" ", "").replace("_", "").lower()
    key = _OTHER_NAMES.get(key, key).lower()
    if key not in _NUMBER:
        raise UserError(
            f"'{name}' is not an action of Human3.6M",
            where=where,
            expected=", ".join(ACTIONS.values()),
            hint=nearest(name, ACTIONS.values()),
        )
    return _NUMBER[key]
