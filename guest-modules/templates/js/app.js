// Each interface that the world exports is an export of this file, named in camelCase.
export const greeter = {
  greet(name) {
    return `Hello, ${name}!`;
  },
};
