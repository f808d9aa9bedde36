"""CRC-32C, for tests that write what only the Rust side writes. Slow, and independent of it."""


def crc32c(content: bytes) -> int:
    """The checksum of docs/formats/disk.md. Source: RFC 3720, appendix B.4 (its vectors are in the test)."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
