/* A Modbus server on libmodbus, for tests: cc modbus_peer.c -lmodbus
 *
 *   modbus_peer [PORT]      Modbus TCP on 127.0.0.1, any unit; 0 (default) takes a free port
 *   modbus_peer rtu PATH    a Modbus RTU slave, unit 1, on a tty at 19200 8N1
 *
 * The first line out is the port (0 for RTU). `set OFFSET VALUE...` on standard input sets holding registers, all of
 * them between two requests, and is answered with `ok`. It ends when its input closes. There are 200 registers. */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

enum { REGISTERS = 200, MOST_CLIENTS = 8 };

static void fail(const char *what)
{
    fprintf(stderr, "modbus_peer: %s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

/* Carry one command out; 0 where the input has ended. */
static int command(modbus_mapping_t *mapping)
{
    static char line[4096];
    if (fgets(line, sizeof line, stdin) == NULL)
        return 0;
    char *word = strtok(line, " \n");
    if (word == NULL || strcmp(word, "set") != 0 || (word = strtok(NULL, " \n")) == NULL) {
        puts("error: set OFFSET VALUE...");
        return 1;
    }
    long offset = strtol(word, NULL, 10);
    while ((word = strtok(NULL, " \n")) != NULL) {
        if (offset < 0 || offset >= REGISTERS) {
            puts("error: no such register");
            return 1;
        }
        mapping->tab_registers[offset++] = (uint16_t) strtol(word, NULL, 10);
    }
    puts("ok");
    return 1;
}

/* Answer one request on `socket`; 0 where the client has gone. */
static int answer(modbus_t *context, int socket, modbus_mapping_t *mapping)
{
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    modbus_set_socket(context, socket);
    int length = modbus_receive(context, query);
    if (length > 0)
        return modbus_reply(context, query, length, mapping) >= 0;
    return length == 0;
}

static int listen_tcp(modbus_t *context)
{
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    int listening = modbus_tcp_listen(context, MOST_CLIENTS);
    if (listening < 0 || getsockname(listening, (struct sockaddr *) &bound, &size) < 0)
        fail("listen");
    printf("%d\n", ntohs(bound.sin_port));
    return listening;
}

static int open_rtu(modbus_t *context)
{
    if (modbus_set_slave(context, 1) < 0 || modbus_connect(context) < 0)
        fail("open");
    puts("0");
    return modbus_get_socket(context);
}

int main(int argc, char **argv)
{
    int rtu = argc == 3 && strcmp(argv[1], "rtu") == 0;
    modbus_t *context = rtu ? modbus_new_rtu(argv[2], 19200, 'N', 8, 1)
                            : modbus_new_tcp("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0);
    modbus_mapping_t *mapping = modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS);
    if (context == NULL || mapping == NULL)
        fail("start");
    setvbuf(stdin, NULL, _IONBF, 0); /* what select does not see must not wait in a buffer */
    setvbuf(stdout, NULL, _IOLBF, 0);
    int first = rtu ? open_rtu(context) : listen_tcp(context);
    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(STDIN_FILENO, &watched);
    FD_SET(first, &watched);
    for (;;) {
        fd_set ready = watched;
        if (select(FD_SETSIZE, &ready, NULL, NULL, NULL) < 0)
            fail("select");
        for (int one = 0; one < FD_SETSIZE; one++) {
            if (!FD_ISSET(one, &ready))
                continue;
            if (one == STDIN_FILENO) {
                if (!command(mapping))
                    return 0;
            } else if (one == first && !rtu) {
                int listening = first;
                int client = modbus_tcp_accept(context, &listening);
                if (client >= 0)
                    FD_SET(client, &watched);
            } else if (!answer(context, one, mapping) && !rtu) {
                FD_CLR(one, &watched);
                close(one);
            }
        }
    }
}
