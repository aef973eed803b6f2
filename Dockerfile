# The page of `barefaced serve` by default; any other command after the image's name. CPU alone.
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheel .

FROM python:3.12-slim
COPY constraints.txt /tmp/
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --constraint /tmp/constraints.txt /wheel/*.whl

# Files belong to whoever runs it; caches go where everybody may write.
RUN useradd --create-home --uid 1000 barefaced && mkdir /files && chown barefaced /files
ENV HOME=/home/barefaced XDG_CACHE_HOME=/tmp/cache
USER barefaced
WORKDIR /files
VOLUME /files
EXPOSE 8437

ENTRYPOINT ["barefaced"]
CMD ["serve", "--host", "0.0.0.0"]
