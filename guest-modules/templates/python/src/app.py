"""Says hello. Each interface that the world exports is a class here, named in CamelCase."""

from wit_world import exports


class Greeter(exports.Greeter):
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
