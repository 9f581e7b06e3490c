/** Lets tests wait for a condition without polling: whoever changes something calls `notify`. */
export class Watchers {
  readonly #watching = new Set<() => void>();

  notify(): void {
    for (const look of this.#watching) look();
  }

  /** Resolves as soon as the predicate holds; looked at now and at every `notify`. */
  until(predicate: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          if (!predicate()) return;
          this.#watching.delete(look);
          resolve();
        } catch (error) {
          this.#watching.delete(look);
          reject(error);
        }
      };
      this.#watching.add(look);
      look();
    });
  }
}
