r"""TeX as plain text for a terminal: ``\frac{1}{2}\sigma^2`` becomes ``½σ²``.

It knows the commands that the book uses. What it does not know makes `render` return None, and the
caller shows the TeX instead: a formula is never shown wrong.
"""

import re
import unicodedata
from collections.abc import Callable

__all__ = ["render"]

_GREEK = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lamda",
    "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
]  # fmt: skip
_SYMBOLS = {
    name: unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}") for name in _GREEK
} | {
    name.capitalize(): unicodedata.lookup(f"GREEK CAPITAL LETTER {name.upper()}")
    for name in _GREEK
}  # fmt: skip
_SYMBOLS |= {
    "lambda": "λ", "Lambda": "Λ", "varepsilon": "ε", "epsilon": "ϵ", "varphi": "φ", "phi": "ϕ",
    "vartheta": "ϑ", "ell": "ℓ", "partial": "∂", "nabla": "∇", "infty": "∞", "top": "ᵀ",
    "lVert": "‖", "rVert": "‖", "lvert": "|", "rvert": "|", "vert": "|", "Vert": "‖",
    "lbrace": "{", "rbrace": "}", "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋",
    "lceil": "⌈", "rceil": "⌉", "dots": "…", "ldots": "…", "cdots": "⋯", "prime": "′",
    "emptyset": "∅", "{": "{", "}": "}", "|": "‖", "%": "%", "#": "#", "&": "&", "_": "_", "$": "$",
    "sum": "∑", "prod": "∏", "int": "∫", "iint": "∬", "circ": "∘", "odot": "⊙", "otimes": "⊗",
    "cdot": "·", "star": "⋆", "ast": "∗", "bullet": "•", "dagger": "†", "forall": "∀",
    "exists": "∃", "Re": "ℜ", "backslash": "\\",
}  # fmt: skip
_RELATIONS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈",
    "equiv": "≡", "sim": "~", "propto": "∝", "in": "∈", "notin": "∉", "subset": "⊂", "ll": "≪",
    "gg": "≫", "to": "→", "rightarrow": "→", "leftarrow": "←", "gets": "←", "mapsto": "↦",
    "Rightarrow": "⇒", "Leftrightarrow": "⇔", "iff": "⇔", "implies": "⇒", "coloneqq": "≔",
    "longrightarrow": "→", "Longrightarrow": "⇒", "Longleftrightarrow": "⇔",
    "times": "×", "pm": "±", "mp": "∓", "mid": "|", "perp": "⊥",
    "parallel": "∥", "simeq": "≃", "cup": "∪", "cap": "∩", "leftrightarrow": "↔", "succeq": "⪰",
    "succ": "≻", "setminus": "∖", "colon": ":", "quad": " ", "qquad": "  ",
}  # fmt: skip
_NAMES = [
    "log", "exp", "ln", "sin", "cos", "tan", "tanh", "sinh", "cosh", "max", "min", "arg", "argmax",
    "argmin", "det", "dim", "sup", "inf", "lim", "Pr", "ker", "gcd",
]  # fmt: skip
_IGNORED = [
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl",
    "biggr", "Biggl", "Biggr", "bigm", "Bigm", "middle", "displaystyle", "textstyle",
    "scriptstyle", "limits", "nolimits", "nonumber", "!", "/", "[", "]", "(", ")",
]  # fmt: skip
_SPACES = {",": " ", ";": " ", ":": " ", ">": " ", " ": " ", "~": " ", "enspace": " "}
_PLAIN = [
    "mathrm", "text", "textrm", "textit", "mathit", "mathbf", "boldsymbol", "mathsf", "mathtt",
    "texttt", "operatorname",
]  # fmt: skip
_ALPHABETS = {"mathcal": "SCRIPT", "mathbb": "DOUBLE-STRUCK", "mathscr": "SCRIPT"}
_ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "widetilde": "\u0303",
    "bar": "\u0304", "overline": "\u0305", "dot": "\u0307", "ddot": "\u0308", "vec": "\u20d7",
}  # fmt: skip
_HALVES = {("1", "2"): "½", ("1", "4"): "¼", ("3", "4"): "¾", ("1", "3"): "⅓", ("2", "3"): "⅔"}
_SUPERS = dict(zip("0123456789+-=()inTKNMDSabcdefghjklmoprstuvwxyzβγδθφ",
                   "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿᵀᴷᴺᴹᴰˢᵃᵇᶜᵈᵉᶠᵍʰʲᵏˡᵐᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵝᵞᵟᶿᵠ", strict=True))  # fmt: skip
_SUPERS |= {"ᵀ": "ᵀ", "′": "′", "∗": "*", "*": "*", "⋆": "*", "ϕ": "ᵠ", "−": "⁻"}
del _SUPERS["S"]
_SUBS = dict(zip("0123456789+-=()aehijklmnoprstuvxβγρφχ",
                 "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))  # fmt: skip
_SUBS |= {"ϕ": "ᵩ", "−": "₋"}

_TOKEN = re.compile(r"%[^\n]*|\\[A-Za-z]+|\\.|[{}^_&]|\s+|.", re.DOTALL)


class _UnknownError(Exception):
    """A command that is not rendered."""


def render(tex: str) -> str | None:
    """The formula as lines of text, or None if it holds a command that has no plain form."""
    try:
        text = _Reader(tex).all()
    except _UnknownError:
        return None
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.split("\n")]
    lines = [re.sub(r"([(\[{]) | (?=[)\]},.;])", r"\1", line) for line in lines]
    return "\n".join(line for line in lines if line)


class _Reader:
    """A recursive descent through the tokens of a formula."""

    def __init__(self, tex: str) -> None:
        self.tokens = [t for t in _TOKEN.findall(tex) if not t.startswith("%")]
        self.at = 0

    def peek(self) -> str | None:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise _UnknownError("the formula ends where something should follow")
        self.at += 1
        return token

    def all(self, *ends: str) -> str:
        """Everything up to one of ``ends``, which is taken too."""
        parts: list[str] = []
        while (token := self.peek()) is not None:
            if token in ends:
                self.at += 1
                return "".join(parts)
            if token in "^_" and len(token) == 1:
                self.at += 1
                _glue(parts, token, self.item())
            else:
                parts.append(self.item())
        if ends:
            raise _UnknownError(f"no {ends[0]}")
        return "".join(parts)

    def item(self) -> str:
        """A letter, a group or a command with its arguments."""
        token = self.take()
        if token == "{":
            return self.all("}")
        if token == "&":
            return " "
        if token.startswith("\\"):
            return self.command(token[1:])
        if token in "=<>":
            return f" {token} "
        if token in "+-":
            return self.sign("−" if token == "-" else token)
        return {"*": "*", "'": "′", "~": " ", ",": ", ", ";": "; "}.get(token, token)

    def sign(self, sign: str) -> str:
        """A sign, with blanks unless it belongs to what follows it."""
        before = next((t for t in reversed(self.tokens[: self.at - 1]) if not t.isspace()), "{")
        unary = before in ("{", "(", "[", "=", "&", "^", "_", ",", "<", ">", "|", r"\\")
        unary |= before[0] == "\\" and before[1:] in {*_RELATIONS, *_NAMES, *_SPACES}
        return sign if unary else f" {sign} "

    def command(self, name: str) -> str:
        simple: dict[str, Callable[[], str]] = {
            "\\": self.newline, "begin": self.environment, "end": self.stray, "frac": self.fraction,
            "tfrac": self.fraction, "dfrac": self.fraction, "sqrt": self.root,
            "binom": lambda: f"C({self.item()}, {self.item()})", "underbrace": self.item,
        }  # fmt: skip
        if name in simple:
            return simple[name]()
        if name in _PLAIN:
            return self.words(name)
        if name in _ALPHABETS:
            return _letter(_ALPHABETS[name], self.item())
        if name in _ACCENTS:
            return "".join(c + _ACCENTS[name] if c.isalnum() else c for c in self.item())
        if name in _RELATIONS:
            return f" {_RELATIONS[name]} "
        if name in _NAMES:
            return name + ("" if self.peek() in ("(", "_", "^", "[", r"\left", r"\bigl", r"\Bigl")
                           else " ")  # fmt: skip
        if name in _IGNORED:
            if name in ("left", "right", "middle") and self.peek() == ".":
                self.at += 1
            return ""
        if name in _SYMBOLS:
            return _SYMBOLS[name]
        if name in _SPACES:
            return _SPACES[name]
        raise _UnknownError(name)

    def words(self, name: str) -> str:
        """The group as it is written, blanks too if it is text."""
        if self.peek() != "{":
            return self.item()
        start = self.at = self.at + 1
        depth = 1
        while depth:
            if self.at == len(self.tokens):
                raise _UnknownError(name)
            depth += {"{": 1, "}": -1}.get(self.tokens[self.at], 0)
            self.at += 1
        inside = self.tokens[start : self.at - 1]
        if name.startswith("text") and not any(t.startswith("\\") for t in inside):
            return "".join(inside)
        word = _Reader("".join(inside)).all()
        return word

    def newline(self) -> str:
        if self.peek() == "[":  # the extra space of \\[2pt]
            while self.take() != "]":
                pass
        return "\n"

    def stray(self) -> str:
        raise _UnknownError("end")

    def environment(self) -> str:
        name = self.words("environment")
        if name == "array":
            self.item()
        end = self.at
        depth = 1
        while depth:
            if end == len(self.tokens):
                raise _UnknownError(name)
            depth += {r"\begin": 1, r"\end": -1}.get(self.tokens[end], 0)
            end += 1
        body = _Reader("".join(self.tokens[self.at : end - 1])).all()
        self.at = end
        self.words("environment")
        rows = [re.sub(r"\s+", " ", row).strip() for row in body.split("\n") if row.strip()]
        if "matrix" in name or name == "array":
            return "[" + "; ".join(rows) + "]"
        if name == "cases":
            return "{ " + "; ".join(rows)
        if name in ("aligned", "align", "align*", "gathered", "split"):
            return "\n".join(rows)
        raise _UnknownError(name)

    def fraction(self) -> str:
        top, bottom = self.item().strip(), self.item().strip()
        if (top, bottom) in _HALVES:
            return _HALVES[top, bottom] + " "
        return f"{_bracketed(top, below=False)}/{_bracketed(bottom, below=True)} "

    def root(self) -> str:
        inside = self.item().strip()
        return f"√{inside}" if len(inside) == 1 else f"√({inside})"


def _letter(alphabet: str, text: str) -> str:
    """Each letter in the alphabet, such as ℒ and 𝔼."""

    def styled(letter: str) -> str:
        for prefix in (f"MATHEMATICAL {alphabet}", alphabet):
            try:
                return unicodedata.lookup(f"{prefix} CAPITAL {letter}")
            except KeyError:
                continue
        return letter

    return "".join(styled(letter) for letter in text)


def _bracketed(text: str, *, below: bool) -> str:
    """A numerator or what stands below it, in brackets unless it is one thing."""
    plain = unicodedata.normalize("NFD", text)
    scripts = f"[{''.join({*_SUPERS.values(), *_SUBS.values()} - set('*'))}\u0300-\u036f]*"
    letter = rf"(?:\d+|∂?\w){scripts}"
    whole = (
        rf"∂|{letter}|\w*\([^()]*\){scripts}"
        if below
        else rf"(?:∂?{letter})*(?:\([^()]*\){scripts})?"
    )
    return text if re.fullmatch(whole, plain) else f"({text})"


def _glue(parts: list[str], mark: str, script: str) -> None:
    """Put a script behind what it belongs to, raised or lowered if Unicode can."""
    script = re.sub(r"\s*([=+−-])\s*", r"\1", script.strip())
    table = _SUPERS if mark == "^" else _SUBS
    if all(c in table for c in script):
        script = "".join(table[c] for c in script)
    else:
        script = mark + (script if len(script) == 1 else f"{{{script}}}")
    if parts and parts[-1].strip() in {*"∑∏∫∬", *_NAMES}:
        script += " "
    trailing = len(parts[-1]) - len(parts[-1].rstrip()) if parts else 0
    if trailing:
        parts[-1] = parts[-1].rstrip() + script.rstrip() + " "
    else:
        parts.append(script)
