# The image that jobs/rayjob.yaml and cluster.yaml name: this project, with the packages of requirements/ by hash.
#
#   docker build --target cuda --build-arg BASE=python:3.11-bookworm@sha256:DIGEST -t REGISTRY/stilts-scaling-cuda:2.60.0 .
#   docker build --target cpu --build-arg BASE=... --build-arg TORCH=URL#sha256=HASH -t REGISTRY/stilts-scaling-cpu:2.60.0 .
#
# Look the digest up where you trust it (`docker buildx imagetools inspect python:3.11-bookworm`): it has no default. The
# whole image and not the slim one, which has neither wget (KubeRay's probes) nor a compiler (triton).
# TORCH is the CPU build's wheel at PyTorch's own index, with the hash that stands there; PyPI has CUDA's alone.
ARG BASE
FROM ${BASE} AS packages
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 SCALING_CACHE=/var/cache/scaling
WORKDIR /srv/stilts
COPY requirements/base.txt requirements/source.txt requirements/
# Into the base's own Python: Ray's launcher and KubeRay use login shells, which know no other PATH.
RUN python -c 'import sys; v = sys.version_info[:2]; sys.exit(f"BASE has Python {v}, 3.11 is locked" if v != (3, 11) else 0)' \
 && python -m pip install --require-hashes --no-deps --only-binary=:all: -r requirements/base.txt \
 && DS_BUILD_OPS=0 python -m pip install --require-hashes --no-deps --no-build-isolation -r requirements/source.txt \
 && useradd --create-home --uid 1000 ray \
 && install -d -o ray -g ray -m 700 /var/cache/scaling

FROM packages AS cpu
ARG TORCH
# hadolint ignore=DL3013
RUN python -m pip install --require-hashes --no-deps --only-binary=:all: "torch @ ${TORCH}"
COPY pyproject.toml README.md LICENSE ./
COPY scaling scaling
COPY analysis analysis
COPY jobs jobs
RUN python -m pip install --no-index --no-deps --no-build-isolation . && rm -rf build ./*.egg-info && python -m pip check
USER 1000:1000
# Whatever is missing is missing now, and not on a machine that is paid for.
RUN scaling plan xtreme_r > /dev/null && python -c 'import deepspeed, ray.train, scaling.training.runner'

FROM packages AS cuda
COPY requirements/cuda.txt requirements/
RUN python -m pip install --require-hashes --no-deps --only-binary=:all: -r requirements/cuda.txt
COPY pyproject.toml README.md LICENSE ./
COPY scaling scaling
COPY analysis analysis
COPY jobs jobs
RUN python -m pip install --no-index --no-deps --no-build-isolation . && rm -rf build ./*.egg-info && python -m pip check
# The driver and its libraries are the machine's; CUDA's came with torch.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility PYTORCH_ALLOC_CONF=expandable_segments:True
USER 1000:1000
RUN scaling plan xtreme_r > /dev/null && python -c 'import deepspeed, ray.train, scaling.training.runner'
