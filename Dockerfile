# One image for every service; the command says which: docker run sparks serve ledger
FROM python:3.11-slim

RUN groupadd --system --gid 10001 sparks && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/sparks sparks \
    && install --directory --owner=10001 --group=10001 /broker /backups
WORKDIR /opt/sparks

# The dependencies change rarely, the code often: a layer for each. Without its code, Sparks is its dependencies.
COPY pyproject.toml constraints.txt README.md ./
RUN pip install --no-cache-dir --constraint constraints.txt .

COPY contracts contracts
COPY device_sim device_sim
COPY services services
COPY migrations migrations
COPY benchmarks benchmarks
RUN pip install --no-cache-dir --no-deps --force-reinstall .

USER sparks
WORKDIR /var/lib/sparks
ENV SPARKS_DATA_DIR=/var/lib/sparks
VOLUME /var/lib/sparks
EXPOSE 8000
ENTRYPOINT ["sparks"]
CMD ["serve", "all"]
