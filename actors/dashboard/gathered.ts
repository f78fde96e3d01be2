/**
 * Equal questions share one answer, but never one that was asked for before they came: who comes while an answer is
 * being made gets the next one, together with all who came meanwhile. So nobody is told less than was there at the asking.
 */
export class Gathered<T> {
  readonly #running = new Map<string, { now: Promise<T>; next: Promise<T> | undefined }>();

  ask(key: string, run: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running === undefined) return this.#start(key, run);
    running.next ??= running.now.then(
      () => this.#start(key, run),
      () => this.#start(key, run),
    );
    return running.next;
  }

  get size(): number {
    return this.#running.size;
  }

  #start(key: string, run: () => Promise<T>): Promise<T> {
    const now = run();
    const entry = { now, next: undefined as Promise<T> | undefined };
    this.#running.set(key, entry);
    const end = (): void => {
      if (entry.next === undefined) this.#running.delete(key);
    };
    now.then(end, end);
    return now;
  }
}
