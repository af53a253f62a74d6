"""Formulas as MathML, which browsers draw themselves: no script, no font, no request."""

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, is_block=False))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    # The frame scrolls; with tabindex it does so from the keyboard, too
    translator.body.append(translator.starttag(node, "div", CLASS="math", tabindex="0"))
    translator.body.append(_mathml(node, is_block=True) + "</div>\n")
    raise nodes.SkipNode


def _mathml(node: nodes.Element, is_block: bool) -> str:
    tex = node.astext()
    if is_block and r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    try:
        return latex2mathml.tex2mathml(tex, as_block=is_block)
    except (ValueError, SyntaxError) as error:
        logging.getLogger(__name__).warning("formula %r: %s", tex, error, location=node)
        return ""


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
