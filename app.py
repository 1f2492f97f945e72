"""Momentum Lab: which optimizer, learning rate and momentum suit this problem, and why?"""

from pathlib import Path

import streamlit as st

st.set_page_config(page_title="Momentum Lab", page_icon="pages/icon.png", layout="wide")
st.html(Path(__file__).parent / "pages" / "style.css")
pages = [
    st.Page("pages/train.py", title="Train", default=True),
    st.Page("pages/compare.py", title="Compare"),
    st.Page("pages/stability.py", title="Stability"),
    st.Page("pages/tune.py", title="Tune"),
]
shown = st.navigation(pages, position="top")
with st.container(horizontal=True, gap="small", key="pages"):  # where Streamlit hides its own on a phone
    for page in pages:
        st.page_link(page)
shown.run()
