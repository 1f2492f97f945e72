"""Makes a page's own link work as the first thing that a fresh server is asked for.

Streamlit takes a folder named `pages` for its old kind of multipage app until app.py has called
st.navigation once; until then it would run the page alone, without app.py.
"""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
