# One static binary on an empty image: no shell, no root, nothing to write to but /data. No VOLUME: Railway
# builds no image that has one, and whoever wants to keep /data mounts something there by name.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY pkg pkg
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/openai-api-proxy ./cmd/mockopenai \
 && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/openai-api-proxy /out/mockopenai /
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV DATA_DIR=/data
EXPOSE 10000
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s CMD ["/openai-api-proxy", "healthcheck"]
ENTRYPOINT ["/openai-api-proxy"]
