"""What stands around every page: its name and question, a link to copy, and a sentence for what went wrong.

Makes a page's own link work as the first thing that a fresh server is asked for, too: Streamlit takes a
folder named `pages` for its old kind of multipage app until app.py has called st.navigation once; until then
it would run the page alone, without app.py.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from pages import _say as say

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()

COPY = """<script>
if (!window.momentumLabCopies) {
  window.momentumLabCopies = true;
  document.addEventListener('click', event => {
    const button = event.target.closest?.('button[data-link]');
    if (!button) return;
    const address = location.origin + location.pathname + button.dataset.link;
    const copied = () => { button.textContent = 'Link copied'; };
    const by_hand = () => {
      const field = document.createElement('textarea');
      field.value = address;
      document.body.append(field);
      field.select();
      if (document.execCommand('copy')) copied();
      else button.textContent = address;
      field.remove();
      button.focus();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(address).then(copied, by_hand);
    else by_hand();
  });
  document.addEventListener('focusout', event => {
    const button = event.target.closest?.('button[data-link]');
    if (button) button.textContent = 'Copy link';
  });
}
</script>"""
log = logging.getLogger(__name__)


def head(name: str, question: str, link: dict[str, str], more: str = "") -> None:
    """The page's name beside its question, a button that copies a link, and what could not be.

    Args:
        name, question, more: The words.
        link: What the link says; whoever opens it sees this page start.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="head"):
        st.markdown(f"**{name}** · {question} {more}".strip())
        address = html.escape("?" + urlencode(link, safe=",:"), quote=True)
        st.html(
            f'<button type="button" class="copy" data-link="{address}" aria-live="polite">Copy link</button>'
            + COPY,
            unsafe_allow_javascript=True,
            width="content",
        )
    say.complain(say.refused())


def guarded(draw: Callable[[], None]) -> None:
    """Draws a page; where its settings cannot be, one sentence, and the controls stay usable."""
    try:
        draw()
    except ValueError as error:
        log.warning("A page could not be drawn.", exc_info=error)
        say.complain([str(error)])
