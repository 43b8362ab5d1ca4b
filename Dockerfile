# MFN Studio with its demo model. Written without a Docker at hand: no image was built yet. What it installs, and how it
# is started beside a PostgreSQL, .ci/run does without Docker (scripts/install_image.sh, scripts/as_compose.py).
#   docker build -t mfn-studio .
#   docker run --rm -it -v mfn-data:/data mfn-studio mfn users create-admin ann
#   docker run --rm -p 127.0.0.1:8765:8765 -v mfn-data:/data mfn-studio
FROM python:3.11-slim AS wheel
WORKDIR /src
RUN pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel --outdir /dist

FROM python:3.11-slim
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY constraints.txt scripts/install_image.sh /tmp/
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    PIP_NO_CACHE_DIR=1 TORCH_INDEX_URL="$TORCH_INDEX_URL" /tmp/install_image.sh "$(echo /dist/*.whl)" /tmp/constraints.txt \
    && useradd --create-home mfn && install -d -o mfn /data
USER mfn
# Inside its network namespace the container must listen on all addresses, so it asks people to log in. It speaks plain
# HTTP: publish the port on loopback, and put what speaks TLS in front of that.
ENV MFN_HOME=/data MFN_ACCOUNTS=true
VOLUME /data
EXPOSE 8765
CMD ["mfn", "demo", "--no-browser", "--host", "0.0.0.0"]
