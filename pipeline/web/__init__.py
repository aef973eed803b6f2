"""The page of `barefaced serve`: a browser's camera or a file in, the result beside it.

`server` puts it together; `guard` decides who may ask; `visit` is one browser's camera from beginning to end, with what
is said, and `peer` for WebRTC; `uploads` are files, `faces` are enrolled. What the browser gets is in `page/`.
"""
