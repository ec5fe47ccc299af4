"""The same service over gRPC, behind Ray Serve's own gRPC proxy: docs/grpc.md."""
