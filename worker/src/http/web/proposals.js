// A proposed term becomes one of the vocabulary, and a tag of its picture.

import { api } from "./api.js";
import { named } from "./term.js";

/** Adds a proposed word to the vocabulary, below no other term, and accepts it. Answers the suggestion as it is then. */
export async function adopted({ id, value }) {
  const { language } = await api.vocabulary();
  try {
    await api.addTerm(named(value, language));
  } catch (error) {
    // Somebody else added it: then it is a tag by now, unless the term is off.
    if (error.code !== "exists" || (await api.suggestion(id)).kind === "proposal") throw error;
  }
  return api.decide(id, "accept");
}
