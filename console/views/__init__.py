"""One page a file; each is a function `page(desk)`. (A folder called `pages` beside app.py would be taken over by Streamlit.)"""
