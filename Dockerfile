# The sidecar's image. Builds with BuildKit and with the classic builder, online and offline.
#
# BUILD_IMAGE is where packages are installed: an image with a pip.conf, or with PIP_NO_INDEX, PIP_FIND_LINKS and a
# folder of wheels, builds without reaching a public index, and nothing of it is left in the result.
# BASE_IMAGE is what runs. Both need the same Python, 3.11 or newer, at the same place.
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
# A mirror: docker compose build --build-arg PIP_INDEX_URL=…; unset means pip's own default.
ARG PIP_INDEX_URL
# pip itself stays outside of what is copied.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/egoscope
WORKDIR /src
# First what seldom changes, so that an edited source file does not install everything again.
COPY requirements.lock ./
RUN /opt/build/bin/pip --python /opt/egoscope/bin/python install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY exporter exporter
RUN /opt/build/bin/pip --python /opt/egoscope/bin/python install --no-cache-dir --no-deps --no-build-isolation .
COPY docker/probe.py /opt/egoscope/probe.py

FROM ${BASE_IMAGE}
# Empty volumes take over owner and mode of these folders. Which user runs is chosen at start (EGOSCOPE_UID), so both
# are open to every user of the container, and there is only one.
RUN mkdir -m 1777 /logs /var/lib/egoscope
COPY --from=build /opt/egoscope /opt/egoscope
ENV PATH=/opt/egoscope/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/egoscope
ENTRYPOINT ["egoscope"]
CMD ["serve"]
