"""The local cloud: the packaged template on an AWS emulator, vendors faked as real servers."""
