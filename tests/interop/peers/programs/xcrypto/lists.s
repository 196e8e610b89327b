// Lets peer.go declare names that the linker finds elsewhere.
