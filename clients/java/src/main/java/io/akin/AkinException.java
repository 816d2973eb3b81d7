package io.akin;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** What a failed call tells. */
public final class AkinException extends StatusRuntimeException {
  private static final long serialVersionUID = 1L;

  private String reason = "";
  // Transient because a List need not be serializable; nor is the status that it belongs to.
  private transient List<Violation> violations = List.of();
  private Duration retryAfter;

  private AkinException(Status status, Metadata trailers) {
    super(status, trailers);
  }

  /** Reads the details of what a stub threw. */
  public static AkinException of(StatusRuntimeException error) {
    return error instanceof AkinException known
        ? known
        : made(error, error.getStatus(), error.getTrailers());
  }

  /**
   * The same for what a future or an observer got, be it wrapped; UNKNOWN if no call is behind it.
   */
  public static AkinException from(Throwable error) {
    for (Throwable each = error; each != null; each = each.getCause()) {
      if (each instanceof StatusRuntimeException thrown) {
        return of(thrown);
      }
      if (each instanceof StatusException thrown) {
        return made(thrown, thrown.getStatus(), thrown.getTrailers());
      }
    }
    return made(error, Status.UNKNOWN.withDescription(String.valueOf(error)), null);
  }

  private static AkinException made(Throwable cause, Status status, Metadata trailers) {
    AkinException made = new AkinException(status.withCause(cause), trailers);
    com.google.rpc.Status details = StatusProto.fromStatusAndTrailers(status, trailers);
    for (Any detail : details.getDetailsList()) {
      made.add(detail);
    }
    return made;
  }

  /** The gRPC status code. */
  public Status.Code code() {
    return getStatus().getCode();
  }

  /** The stable name of the error, such as ITEM_NOT_FOUND; empty if the server never answered. */
  public String reason() {
    return reason;
  }

  /** Every field at fault, for INVALID_ARGUMENT. */
  public List<Violation> violations() {
    return violations;
  }

  /** Set where trying again later can help. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  private void add(Any detail) {
    try {
      if (detail.is(ErrorInfo.class)) {
        reason = detail.unpack(ErrorInfo.class).getReason();
      } else if (detail.is(BadRequest.class)) {
        violations =
            detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                .map(each -> new Violation(each.getField(), each.getDescription()))
                .toList();
      } else if (detail.is(RetryInfo.class)) {
        com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      }
    } catch (InvalidProtocolBufferException e) {
      // The code and the message still tell; a detail that cannot be read must not hide them.
      addSuppressed(e);
    }
  }
}
