/**
 * Everything that a terminal or a log viewer could take for a command or a line end: C0 and C1 controls, DEL, line and
 * paragraph separators, and the marks that reorder text.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Remote text as it may be printed: unsafe characters become `\uXXXX`, everything else stays. */
export function escapeForTerminal(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
