// Loaded before a program (node --import): a host whose clock is ten minutes ahead.
const ahead = 600_000;
const OwnDate = Date;
globalThis.Date = class extends OwnDate {
  constructor(...given) {
    super(...(given.length === 0 ? [OwnDate.now() + ahead] : given));
  }
  static now() {
    return OwnDate.now() + ahead;
  }
};
