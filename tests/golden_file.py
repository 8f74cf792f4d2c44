"""Reads the tensors of a golden file: just enough GGUF v3 for tests, written from the format's
description so that it shares nothing with the reader that is tested."""
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


class Tensor:
    def __init__(self, dims, type_id, offset):
        self.dims, self.type_id, self.offset = dims, type_id, offset


class GoldenFile:
    def __init__(self, data):
        self.data = data
        self.at = 0
        self.keys, self.tensors = {}, {}
        magic, version, tensors, keys = self.take("<4sIQQ")
        assert magic == b"GGUF" and version == 3
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.take("<I")[0])
        for _ in range(tensors):
            name = self.text()
            dims = self.take("<%dQ" % self.take("<I")[0])
            type_id, offset = self.take("<IQ")
            self.tensors[name] = Tensor(dims, type_id, offset)
        align = self.keys.get("general.alignment", 32)
        start = (self.at + align - 1) // align * align
        for tensor in self.tensors.values():
            tensor.offset += start

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        size = self.take("<Q")[0]
        self.at += size
        return bytes(self.data[self.at - size:self.at]).decode()

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            item, count = self.take("<IQ")
            return [self.value(item) for _ in range(count)]
        form = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
                12: "d"}[kind]
        return self.take("<" + form)[0]

    def floats(self, name):
        """All elements of an F32 tensor as bytes."""
        tensor = self.tensors[name]
        count = 1
        for dim in tensor.dims:
            count *= dim
        return bytes(self.data[tensor.offset:tensor.offset + 4 * count])


def read(path):
    with open(path, "rb") as file:
        return GoldenFile(bytearray(file.read()))
