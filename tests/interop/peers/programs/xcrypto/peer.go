// x/crypto/ssh as a client ("client FOLDER": rows on stdin) or as a server ("server FOLDER PORT REKEY_BYTES").
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/crypto/ssh"
)

// What the library knows, which is more than what it offers by itself.
//
//go:linkname supportedKexAlgos golang.org/x/crypto/ssh.supportedKexAlgos
var supportedKexAlgos []string

//go:linkname supportedCiphers golang.org/x/crypto/ssh.supportedCiphers
var supportedCiphers []string

//go:linkname supportedMACs golang.org/x/crypto/ssh.supportedMACs
var supportedMACs []string

//go:linkname supportedHostKeyAlgos golang.org/x/crypto/ssh.supportedHostKeyAlgos
var supportedHostKeyAlgos []string

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func publicKey(path string) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey(must(os.ReadFile(path)))
	return must(key, err)
}

func config(rekey uint64) ssh.Config {
	return ssh.Config{KeyExchanges: supportedKexAlgos, Ciphers: supportedCiphers, MACs: supportedMACs, RekeyThreshold: rekey}
}

var hosts = []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}

func equal(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func client(folder string) {
	signer := must(ssh.ParsePrivateKey(must(os.ReadFile(folder + "/user"))))
	ca := publicKey(folder + "/host_ca.pub")
	known := []ssh.PublicKey{}
	for _, host := range hosts {
		known = append(known, publicKey(folder+"/host_"+host+".pub"))
	}
	checker := ssh.CertChecker{
		IsHostAuthority: func(key ssh.PublicKey, address string) bool { return equal(key, ca) },
		HostKeyFallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, one := range known {
				if equal(one, key) {
					return nil
				}
			}
			return errors.New("that is not the server's host key")
		},
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		rekey, size := must(strconv.ParseUint(words[1], 10, 64)), must(strconv.Atoi(words[2]))
		settings := &ssh.ClientConfig{Config: config(rekey), User: "alice", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
			HostKeyCallback: checker.CheckHostKey, HostKeyAlgorithms: supportedHostKeyAlgos, Timeout: 20 * time.Second}
		if err := row("127.0.0.1:"+words[0], settings, size); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok")
		}
	}
}

// paced gives data in pieces; once the library must have asked for a key exchange, it waits until that is under way (the
// library writes on while a goroutine that begins one waits for its turn).
type paced struct {
	data  *bytes.Reader
	given int
	limit int // 0: no waiting
	keys  chan struct{}
}

func (p *paced) Read(into []byte) (int, error) {
	if p.limit > 0 && p.given > p.limit+piece {
		select {
		case <-p.keys:
		case <-time.After(10 * time.Second):
		}
		p.limit = 0
	}
	if len(into) > piece {
		into = into[:piece]
	}
	n, err := p.data.Read(into)
	p.given += n
	return n, err
}

const piece = 16384

func row(address string, settings *ssh.ClientConfig, size int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	exchanges := make(chan struct{}, 16)
	check := settings.HostKeyCallback
	settings.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		exchanges <- struct{}{}
		return check(host, remote, key)
	}
	link, channels, requests, err := ssh.NewClientConn(conn, address, settings)
	if err != nil {
		return err
	}
	client := ssh.NewClient(link, channels, requests)
	<-exchanges // the first one
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	data := make([]byte, size)
	rand.Read(data)
	session.Stdin = &paced{data: bytes.NewReader(data), limit: int(settings.RekeyThreshold), keys: exchanges}
	back, err := session.Output("store")
	if err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%d bytes came back of %d, or others", len(back), size)
	}
	return client.Close()
}

func server(folder, port string, rekey uint64) {
	authorized := publicKey(folder + "/user.pub")
	settings := &ssh.ServerConfig{Config: config(rekey), PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if who.User() == "alice" && equal(key, authorized) {
			return nil, nil
		}
		return nil, errors.New("no")
	}}
	for _, host := range hosts {
		signer := must(ssh.ParsePrivateKey(must(os.ReadFile(folder + "/host_" + host))))
		certificate := publicKey(folder + "/host_" + host + "-cert.pub").(*ssh.Certificate)
		settings.AddHostKey(signer)
		settings.AddHostKey(must(ssh.NewCertSigner(certificate, signer)))
	}
	listener := must(net.Listen("tcp", "127.0.0.1:"+port))
	for {
		go serve(must(listener.Accept()), settings)
	}
}

func serve(conn net.Conn, settings *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, settings)
	if err != nil {
		fmt.Println(err)
		return
	}
	go ssh.DiscardRequests(requests)
	for open := range channels {
		channel, asked, err := open.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range asked {
				request.Reply(request.Type == "exec", nil)
				if request.Type == "exec" {
					go func() {
						buffer := make([]byte, piece)
						for {
							n, err := channel.Read(buffer)
							if err != nil {
								break
							}
							channel.Write(buffer[:n])
							time.Sleep(time.Millisecond) // for the goroutine that begins key exchanges
						}
						channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
						channel.Close()
					}()
				}
			}
		}()
	}
}

func main() {
	if os.Args[1] == "client" {
		client(os.Args[2])
	} else {
		server(os.Args[2], os.Args[3], must(strconv.ParseUint(os.Args[4], 10, 64)))
	}
}
