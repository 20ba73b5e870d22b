# segevolution serve in a container: a page, 3D Slicer and napari. For research; not a medical device.
#
#   docker build -t segevolution .
#   docker run --rm -p 127.0.0.1:1527:1527 -e SEGEVOLUTION_KEY=a-long-word segevolution
#
# A GPU: docker build --build-arg DEVICE=cuda -t segevolution:cuda . && docker run --gpus all ...
# TORCH_INDEX names a package index of PyTorch's with builds for the CPU alone, or for one version of CUDA. Without it the
# usual index's build is taken, which has CUDA on Linux and runs on a CPU as well, and makes the image larger.
ARG PYTHON=3.11-slim

FROM python:${PYTHON} AS build
ARG TORCH_INDEX=""
WORKDIR /build
RUN python -m venv /app
ENV PATH=/app/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" -c requirements.lock torch; fi
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install -c requirements.lock ".[server,dicom]"

FROM python:${PYTHON}
ARG DEVICE=cpu
COPY --from=build /app /app
RUN useradd --uid 10001 --create-home segevolution
USER segevolution
WORKDIR /home/segevolution
# Models that were pulled; put a volume here to keep them.
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 DEVICE=${DEVICE} SEGEVOLUTION_HOME=/home/segevolution/models
RUN mkdir models
EXPOSE 1527
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1527/healthz', timeout=4)"]
# Beyond this machine a key is needed: without SEGEVOLUTION_KEY the server says so and ends. What follows the image's name
# in `docker run` are further options, such as --adapter and --modality.
ENTRYPOINT ["sh", "-c", "exec segevolution serve --host 0.0.0.0 --port 1527 --device \"$DEVICE\" \"$@\"", "serve"]
