/** Command lines that cannot be carried out (format specification, chapter 6.1.1, rule 9). */

/** A command line that names no possible command. Nothing has been opened when it is thrown. */
export class UsageError extends Error {
  readonly hints: readonly string[];

  constructor(message: string, hints: readonly string[] = []) {
    super(message);
    this.name = 'UsageError';
    this.hints = hints;
  }
}

/** A mandatory argument is missing: a usage error that the original reports as `JET_errInvalidParameter`. */
export class MissingArgument extends UsageError {
  constructor(what: string) {
    super(`Usage Error: Missing ${what} specification.`);
    this.name = 'MissingArgument';
  }
}
