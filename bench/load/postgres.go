package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// protocolVersion is 3.0 of PostgreSQL's protocol.
const protocolVersion = 3 << 16

// postgresSender sends messages as SQL with the simple query protocol, to a database that trusts the
// user. A call takes a free connection or opens one.
func postgresSender(address, user, database string) sender {
	free := make(chan *postgresConnection, 1024)
	return func(ctx context.Context, _ int, message []byte) (int, error) {
		var connection *postgresConnection
		select {
		case connection = <-free:
		default:
			var err error
			if connection, err = openPostgres(ctx, address, user, database); err != nil {
				return 0, err
			}
		}
		replyBytes, err := connection.query(ctx, message)
		if connection.broken {
			connection.socket.Close()
		} else {
			free <- connection
		}
		return replyBytes, err
	}
}

type postgresConnection struct {
	socket net.Conn
	reader *bufio.Reader
	broken bool
}

func openPostgres(ctx context.Context, address, user, database string) (*postgresConnection, error) {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	connection := &postgresConnection{socket: socket, reader: bufio.NewReader(socket)}
	parameters := binary.BigEndian.AppendUint32(nil, protocolVersion)
	for _, word := range []string{"user", user, "database", database, ""} {
		parameters = append(append(parameters, word...), 0)
	}
	if _, err = connection.exchange(ctx, prefixLength(parameters)); err != nil {
		socket.Close()
		return nil, err
	}
	return connection, nil
}

func (c *postgresConnection) query(ctx context.Context, sql []byte) (int, error) {
	terminated := append(bytes.Clone(sql), 0)
	return c.exchange(ctx, append([]byte{'Q'}, prefixLength(terminated)...))
}

// exchange sends a message and reads replies until the server is ready for the next one.
func (c *postgresConnection) exchange(ctx context.Context, message []byte) (int, error) {
	c.broken = true
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.socket.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	if _, err := c.socket.Write(message); err != nil {
		return 0, err
	}
	var failure error
	for replyBytes := 0; ; {
		var head [5]byte
		if _, err := io.ReadFull(c.reader, head[:]); err != nil {
			return replyBytes, errors.Join(failure, err)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(c.reader, body); err != nil {
			return replyBytes, err
		}
		replyBytes += len(head) + len(body)
		switch head[0] {
		case 'E':
			failure = fmt.Errorf("postgres: %q", body)
		case 'R':
			if binary.BigEndian.Uint32(body) != 0 {
				return replyBytes, errors.New("postgres: the server does not trust the user")
			}
		case 'Z':
			c.broken = false
			return replyBytes, failure
		}
	}
}

// prefixLength puts the length before a message. The length counts itself.
func prefixLength(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message)+4)), message...)
}
