package io.akin;

/**
 * An invalid field of a request.
 *
 * @param field the path of the field, such as {@code item.text}
 * @param description the explanation of the error for people
 */
public record Violation(String field, String description) {}
