from sanpose.cli import main

main()
