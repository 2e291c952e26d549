# All images, for both processors:
#   docker buildx bake -f deploy/docker/docker-bake.hcl --push
# from the root of the work tree. VERSION, REVISION and REGISTRY (with a slash at its end) are variables of the environment.

variable "REGISTRY" { default = "" }
variable "VERSION" { default = "0.1.0" }
variable "REVISION" { default = "unknown" }

group "default" {
  targets = ["poller", "mapper", "api", "notifier", "statusctl"]
}

target "image" {
  name       = item
  matrix     = { item = ["poller", "mapper", "api", "notifier", "statusctl"] }
  context    = "."
  dockerfile = "deploy/docker/Dockerfile"
  target     = item
  platforms  = ["linux/amd64", "linux/arm64"]
  tags       = ["${REGISTRY}mcp-status/${item}:${VERSION}"]
  args       = { VERSION = VERSION, REVISION = REVISION }
  attest     = ["type=sbom", "type=provenance,mode=max"]
}
